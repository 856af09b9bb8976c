"""HTTP for every vendor: requests as values, one retry policy, two clients. Knows no vendor and no Airflow."""
