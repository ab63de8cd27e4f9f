"""Benchmarks: comparing agents fairly. Import name ``textgym.benchmarks``; on the command line ``textgym bench``.

What is here knows environments and the registry of agents, and no concrete agent: ``suites`` says what is
run, ``comparison`` runs it in worker processes, ``metering`` counts what agents spend, ``runs`` records one
run, ``stats`` averages over seeds and ``report`` shows it all on one page.
"""
