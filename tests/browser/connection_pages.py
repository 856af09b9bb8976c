"""Airflow's connection pages in the words of a test; made for the UI of Airflow 3.3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography.fernet import Fernet
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from airflow_provider_etlapis.demo.stack import LocalAirflow
from airflow_provider_etlapis.forms import Field
from tests.support.browser import Browser

STANDARD, EXTRA, EXTRA_JSON = "Standard Fields", "Extra Fields", "Extra Fields JSON"


class ConnectionForm:
    """The open dialog in which a connection is added or edited."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.dialog = browser.one("[role=dialog]")

    def choose_type(self, conn_id: str, title: str) -> None:
        self.type("connection_id", conn_id)
        box = self.browser.one("input[role=combobox]", self.dialog)
        box.send_keys(title)
        self.browser.one("[role=option]", text=title)
        box.send_keys(Keys.ENTER)
        self.browser.one("[data-part=item-trigger]", self.dialog, EXTRA)

    def unfold(self, part: str) -> None:
        trigger = next(
            each for each in self.browser.all("[data-part=item-trigger]", self.dialog) if each.text.strip() == part
        )

        def unfolded() -> bool:
            if trigger.get_attribute("aria-expanded") == "true":
                return True
            trigger.click()
            return False

        self.browser.until(unfolded, f"{part} unfolded")

    def input(self, name: str) -> WebElement:
        """Return the input of a field, also one that is drawn over, such as a switch."""
        return self.browser.all(f"[name={name}]", self.dialog)[0]

    def value(self, name: str) -> str | None:
        return self.input(name).get_attribute("value")

    def values(self) -> list[str]:
        """Return what all inputs hold."""
        script = "return [...arguments[0].querySelectorAll('input, textarea')].map(each => each.value)"
        found: list[str] = self.browser.driver.execute_script(script, self.dialog)
        return found

    def group(self, name: str) -> WebElement:
        """Return the field around an input: label, widget and description."""
        script = "return arguments[0].closest('[data-scope=field][data-part=root]')"
        found: WebElement = self.browser.driver.execute_script(script, self.input(name))
        return found

    def type(self, name: str, text: str) -> None:
        """Replace what is in a field, as a person does who pastes it: the form is drawn anew at every input."""
        field = self.input(name)
        self.browser.until(lambda: field.is_displayed() and field.is_enabled(), f"{name} ready")
        if field.get_attribute("value"):
            field.send_keys(Keys.CONTROL + "a" + Keys.NULL)
        else:
            self.browser.driver.execute_script("arguments[0].focus()", field)
        self.browser.driver.execute_cdp_cmd("Input.insertText", {"text": text})
        self.browser.until(lambda: field.get_attribute("value") == text, f"{text!r} in {name}")

    def choose(self, field: Field, choice: str) -> None:
        box = self.browser.one("input[role=combobox]", self.group(element(field)))
        box.send_keys(choice)
        self.browser.one("[role=option]", text=choice)
        box.send_keys(Keys.ENTER)

    def save(self) -> None:
        self.browser.click("button", self.dialog, "Save")
        self.browser.until(lambda: not self.browser.all("[role=dialog]"), "the dialog closed after Save")


class ConnectionList:
    """The page Admin > Connections."""

    def __init__(self, browser: Browser, airflow: LocalAirflow, *, opened: bool = False) -> None:
        self.browser = browser
        if not opened:
            browser.open(f"{airflow.base_url}/connections")

    def add(self) -> ConnectionForm:
        self.browser.click("button", text="Add Connection")
        return ConnectionForm(self.browser)

    def edit(self, conn_id: str) -> ConnectionForm:
        self.browser.click("[aria-label='Edit Connection']", self.row(conn_id))
        return ConnectionForm(self.browser)

    def row(self, conn_id: str) -> WebElement:
        return self.browser.one("tbody tr", text=conn_id)

    def test(self, conn_id: str) -> str:
        """Press Test and return what the page says."""
        toast = "[data-scope=toast][data-part=root]"
        old = {each.id for each in self.browser.all(toast)}
        self.browser.click("[aria-label='Test Connection']", self.row(conn_id))
        said: list[str] = []

        def told() -> bool:
            said[:] = [each.text for each in self.browser.all(toast) if each.id not in old and "\n" in each.text]
            return bool(said)

        self.browser.until(told, f"an answer to the test of {conn_id}", timeout=40)
        return said[0]


def element(field: Field) -> str:
    """Return the name of the input of an extra."""
    return f"element_{field.name}"


def stored(airflow: LocalAirflow, conn_id: str) -> dict[str, Any]:
    """Return a connection as the database holds it, decrypted: the API masks what matters here."""
    row = dict(airflow.query("SELECT * FROM connection WHERE conn_id = ?", conn_id)[0])
    key = Fernet(airflow.env["AIRFLOW__CORE__FERNET_KEY"])
    for column, is_encrypted in (("password", "is_encrypted"), ("extra", "is_extra_encrypted")):
        if row[column]:
            assert row[is_encrypted], f"{column} lies in the database unencrypted"
            row[column] = key.decrypt(row[column].encode()).decode()
    return {**row, "extra": json.loads(row["extra"] or "{}")}


def different(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a connection with every credential changed into another one that is well formed."""
    extra = {
        name: f"{value}-wrong" if any(word in name for word in ("token", "api_key")) else value
        for name, value in fields.get("extra", {}).items()
    }
    return {**fields, "password": f"{fields['password']}-wrong", "extra": extra}
