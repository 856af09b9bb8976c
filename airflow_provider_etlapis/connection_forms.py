"""The connection types of this provider: a table per vendor, and the fields that all of them have."""

from __future__ import annotations

from airflow_provider_etlapis.forms import ConnectionForm, Field

_LONGEST_TIMEOUT = 86_400


def _wire_fields(requests_per_minute: int | None) -> tuple[Field, ...]:
    """Return the fields about the way to the vendor, alike for all.

    :param requests_per_minute: the default budget.
    """
    return (
        Field(
            "requests_per_minute",
            "Requests per minute",
            "Budget of this connection in each triggerer and worker. Empty: unlimited."
            if requests_per_minute is None
            else "Budget of this connection in each triggerer and worker. With several triggerers, divide it.",
            "integer",
            requests_per_minute,
            minimum=1,
            maximum=1_000_000,
        ),
        Field(
            "max_in_flight",
            "Max concurrent requests",
            "Requests under way at the same time in a triggerer, at most.",
            "integer",
            8,
            minimum=1,
            maximum=1_000,
        ),
        Field(
            "retries",
            "Request retries",
            "How often a request that may be repeated is tried again. A connection that is refused, as while the "
            "server restarts, is tried for 30 s. 0: never.",
            "integer",
            4,
            minimum=0,
            maximum=1_000,
        ),
        Field(
            "connect_timeout",
            "Connect timeout (s)",
            "Seconds to wait for a connection.",
            "number",
            10.0,
            minimum=0.1,
            maximum=_LONGEST_TIMEOUT,
        ),
        Field(
            "read_timeout",
            "Read timeout (s)",
            "Seconds of silence after which an answer is given up.",
            "number",
            60.0,
            minimum=0.1,
            maximum=_LONGEST_TIMEOUT,
        ),
        Field(
            "total_timeout",
            "Total timeout (s)",
            "Seconds for a whole request and its answer, however steadily it comes in. The read timeout counts if that "
            "is longer.",
            "number",
            120.0,
            minimum=0.1,
            maximum=_LONGEST_TIMEOUT,
        ),
        Field(
            "max_response_mb",
            "Max response size (MB)",
            "Size of an answer, uncompressed, above which it is refused.",
            "number",
            50.0,
            minimum=0.1,
            maximum=10_000,
        ),
        Field("verify_tls", "Verify TLS", "Verify the server's certificate.", "boolean", True),
        Field(
            "ca_file",
            "CA file",
            "Path of a PEM file with a certificate authority to trust besides the system's, or of a folder of such "
            "files under their hashed names.",
        ),
        Field("client_certificate", "Client certificate", "Path of a PEM file, for servers that ask for one."),
        Field(
            "client_key_file",
            "Client key file",
            "Path of its key, without a passphrase, if that is a file of its own.",
        ),
        Field(
            "proxy",
            "Proxy",
            "Address of an HTTP proxy without credentials (Airflow shows it as *** later). Empty: HTTP_PROXY, "
            "HTTPS_PROXY, ALL_PROXY and NO_PROXY decide.",
        ),
        Field("proxy_login", "Proxy login", "User name for the proxy."),
        Field("proxy_password", "Proxy password", "Password for the proxy.", "password"),
        Field(
            "secret_headers",
            "Extra headers",
            'JSON object, such as {"X-Gateway-Key": "..."}; sent with every request.',
            "object",
        ),
    )


def _page_field(*ids: str) -> Field:
    """Return the field for a link to the run, for a vendor whose API names no page of it.

    :param ids: of a run, as its reference names them; the address may hold them.
    """
    names = " and ".join(f"{{{name}}}" for name in ids)
    return Field(
        "ui_url_template",
        "Run URL template",
        f"Address that tasks link to, with {names} where the run's ids belong. Empty: no link.",
        "page",
        ids=ids,
    )


CELERY_DIRECTOR = ConnectionForm(
    conn_type="celery_director",
    hook_name="Celery Director",
    hook_class="airflow_provider_etlapis.hooks.celery_director.CeleryDirectorHook",
    fields=_wire_fields(None),
    relabeling={"host": "Base URL", "login": "User (if authentication is on)", "password": "Password"},
    placeholders={"host": "https://director.example.com"},
)

DATAWORQ = ConnectionForm(
    conn_type="dataworq",
    hook_name="QueBIT DataWORQ",
    hook_class="airflow_provider_etlapis.hooks.dataworq.DataworqHook",
    fields=(
        Field(
            "access",
            "Access mode",
            "cloud_connector: through QueBIT's public address, with both keys. native: the DataWORQ server itself, "
            "at the base URL.",
            "choice",
            "cloud_connector",
            choices=("cloud_connector", "native"),
        ),
        Field(
            "api_key",
            "Cloud Connector API key",
            "From the Cloud Connector's Edit menu in DataWORQ; not needed for the native server.",
            "password",
        ),
        Field(
            "api_prefix",
            "API prefix",
            "Path in front of the server's calls; a single / for none.",
            default="/api/v1",
        ),
        _page_field("job_id"),
        *_wire_fields(None),
    ),
    relabeling={"host": "Base URL", "password": "User API key"},
    placeholders={
        "host": "empty for the Cloud Connector (https://api.quebit.com)",
        "password": "key of an API user, from user management",
    },
    hidden=("schema", "login", "extra"),
)

WEBROBOT = ConnectionForm(
    conn_type="webrobot",
    hook_name="WebRobot",
    hook_class="airflow_provider_etlapis.hooks.webrobot.WebRobotHook",
    fields=(
        Field(
            "base_path",
            "Base path",
            "Path between the base URL and the API's own paths; a single / for none, as the vendor's samples have it.",
            default="/api",
        ),
        *_wire_fields(500),
    ),
    relabeling={"host": "Base URL", "password": "API key"},
    placeholders={
        "host": "empty for https://api.webrobot.eu",
        "password": "the whole key, with the colon if it has one",
    },
    hidden=("schema", "login", "extra"),
)

ETLWORKS_RUN_KEY = "airflow_run_key"

ETLWORKS = ConnectionForm(
    conn_type="etlworks",
    hook_name="Etlworks",
    hook_class="airflow_provider_etlapis.hooks.etlworks.EtlworksHook",
    fields=(
        Field(
            "login_path",
            "Login path",
            "Where login and password are exchanged for a token; older documentation has the longer one.",
            "choice",
            "/v1/token-auth",
            choices=("/v1/token-auth", "/v1/token-auth/issue"),
        ),
        Field(
            "tenant_id",
            "Tenant id",
            "Switch to this tenant after each login; for a super administrator's login and password only.",
            "integer",
            minimum=1,
        ),
        Field(
            "stop_endpoint",
            "Stop endpoint",
            "Switches cancelling on. The vendor documents no call for it: ask for yours, and write it as "
            "POST /v1/flows/{flow_id}/stop, with {flow_id} and {audit_id} where they belong.",
        ),
        Field(
            "run_key_parameter",
            "Run key parameter",
            "Name of a flow parameter that gets a text by which a run of ours is recognised "
            f"(true: {ETLWORKS_RUN_KEY}); empty: none is sent.",
        ),
        Field(
            "daily_report",
            "Use the daily report",
            "Follow many runs with one request where the credential is an administrator's.",
            "boolean",
            True,
        ),
        _page_field("flow_id", "audit_id"),
        *_wire_fields(300),
    ),
    relabeling={"host": "Base URL", "login": "Login (empty with an API key)", "password": "API key or password"},
    placeholders={
        "host": "https://your-instance.etlworks.com; empty for app.etlworks.com",
        "login": "alice@example.com",
    },
)

MEIRO = ConnectionForm(
    conn_type="meiro",
    hook_name="Meiro Integrations",
    hook_class="airflow_provider_etlapis.hooks.meiro.MeiroHook",
    fields=(
        Field(
            "access_token",
            "Access token",
            "A ready token, where the instance takes no passwords (Okta). It lives 8 hours; leave it empty with "
            "e-mail and password.",
            "password",
        ),
        Field(
            "user_id",
            "User id",
            "Number of this credential's user, as its jobs show it in user_id. With it, a start call whose answer was "
            "lost is settled without asking a person.",
            "integer",
            minimum=0,
        ),
        Field("login_path", "Login path", "Where tokens are had; some servers have /users/login.", "text", "/login"),
        Field("timezone", "Time zone", "Zone of the server's timestamps, such as Europe/Prague.", "text", "UTC"),
        Field(
            "array_parameters",
            "Lists in queries",
            "How a list such as workspace_ids is written: 1,2 (comma), the key again for each (repeated), or with [] "
            "after it (brackets).",
            "choice",
            "comma",
            choices=("comma", "repeated", "brackets"),
        ),
        Field(
            "boolean_parameters",
            "Booleans in queries",
            "How yes and no are written: true and false, or 1 and 0.",
            "choice",
            "true",
            choices=("true", "1"),
        ),
        _page_field("workspace_id", "job_id"),
        *_wire_fields(None),
    ),
    relabeling={"host": "Base URL", "login": "E-mail"},
    placeholders={"host": "https://api.your-instance.meiro.io", "login": "alice@example.com"},
)

FORMS: tuple[ConnectionForm, ...] = (CELERY_DIRECTOR, DATAWORQ, WEBROBOT, ETLWORKS, MEIRO)
