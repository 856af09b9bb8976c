"""Which remote runs there are and which tasks wait for them: Airflow's side and the vendors', brought together."""
