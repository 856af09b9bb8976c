"""Web server settings of a local Airflow 2: everyone is an admin, as its port is open to this machine only."""

AUTH_ROLE_PUBLIC = "Admin"
WTF_CSRF_ENABLED = False
RATELIMIT_ENABLED = False
