"""The assignments of the course, one module a week; each ends in ``WEEK``."""
