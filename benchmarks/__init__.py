"""What waiting costs, measured beside other providers: ``uv run python -m benchmarks watching``, ``... imports``."""
