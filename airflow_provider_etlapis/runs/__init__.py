"""What a remote run is, and every decision about one. Pure: no HTTP, no Airflow, the clock is an argument."""
