"""A headless Chromium for tests of the real UI; where there is none it is installed, or the tests fail: no skips."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PACKAGES = ("chromium", "chromium-driver")
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
)
WIDTH, HEIGHT = 1200, 1000
NARROWEST = 500
"""Pixels that a window has at least."""
PATIENCE = 20.0
SCREENSHOTS = "ETLAPIS_SCREENSHOTS"
IMAGES = Path(__file__).parents[2] / "docs" / "images"


def _found() -> tuple[str, str] | None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def _browser_and_driver() -> tuple[str, str]:
    """Return the paths of the browser and its driver, after installing them on a Debian of ours if need be."""
    found = _found()
    if found is None and os.geteuid() == 0 and Path("/etc/debian_version").exists():
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
            subprocess.run(["apt-get", *command], env=env, check=True, stdout=subprocess.DEVNULL, timeout=600)
        found = _found()
    if found is None:
        pytest.fail(f"chromium and chromedriver must be on PATH; on Debian: apt-get install {' '.join(PACKAGES)}")
    return found


class Browser:
    """One browser window; everything is waited for."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def until(self, condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        """Wait until a condition holds; the page may be drawn anew meanwhile."""
        WebDriverWait(self.driver, timeout, 0.1, (StaleElementReferenceException,)).until(lambda _: condition(), what)

    def all(self, css: str, within: WebElement | None = None) -> list[WebElement]:
        return (within or self.driver).find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str, within: WebElement | None = None, text: str = "") -> WebElement:
        """Wait for a visible element that holds a text and return it."""
        found: list[WebElement] = []

        def seen() -> bool:
            found[:] = [each for each in self.all(css, within) if each.is_displayed() and text in each.text]
            return bool(found)

        self.until(seen, f"{css} with {text!r} on {self.driver.current_url}")
        return found[0]

    def click(self, css: str, within: WebElement | None = None, text: str = "") -> None:
        """Click an element, whatever transition or tooltip lies over it."""

        def clicked() -> bool:
            self.driver.execute_script("arguments[0].click()", self.one(css, within, text))
            return True

        self.until(clicked, f"a click on {css} with {text!r}")

    def prefer(self, scheme: str) -> None:
        """Let the pages see a person who prefers `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def screenshot(self, name: str, height: int = HEIGHT, width: int = WIDTH) -> None:
        """Keep a picture of the page for the documentation, if the environment asks for pictures.

        :param height: of the page in pixels.
        :param width: of the page in pixels, 500 at least in a window: a narrower one is emulated.
        """
        if not os.environ.get(SCREENSHOTS):
            return
        frame = self.driver.execute_script("return window.outerHeight - window.innerHeight")
        self.driver.set_window_size(max(width, NARROWEST), height + frame)
        if width < NARROWEST:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_script("document.activeElement.blur()")
        time.sleep(1.5)  # a page may take a moment to take on a new size or colour
        IMAGES.mkdir(parents=True, exist_ok=True)
        try:
            self.driver.save_screenshot(str(IMAGES / f"{name}.png"))
        finally:
            if width < NARROWEST:
                self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            self.driver.set_window_size(WIDTH, HEIGHT)


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for these tests, gone after them: its pages ask Airflow for news as long as they are open."""
    binary, driver = _browser_and_driver()
    options = ChromeOptions()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("chromium")
    for switch in (*SWITCHES, f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={profile}"):
        options.add_argument(switch)
    # Only this machine is visited: no proxy may come between.
    options.add_argument("--no-proxy-server")
    started = Chrome(options=options, service=ChromeService(executable_path=driver))
    try:
        yield Browser(started)
    finally:
        started.quit()
