"""The page "Remote runs": its server and its one HTML file. Loaded by Airflow's API server alone."""
