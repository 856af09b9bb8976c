"""The core suite on every supported Airflow: `uv run python -m tests.matrix [--only 2.11.2] [--python 3.12]`."""
