"""A real Airflow and a real Celery Director on localhost: for `etlapis demo` and for the stack tests."""
