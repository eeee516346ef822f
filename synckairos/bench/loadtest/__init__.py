"""The load test: everything that a service does, together, for a stated time, against its objectives.

| module | what it does |
| --- | --- |
| `plan` | how much load there is |
| `run` | starts the servers, makes the sessions, and lets all go at one moment |
| `traffic` | the processes that send switches and reads |
| `audience` | the process that has the WebSockets |
| `gauges` | memory, processor time and what waits for the audit, once a second |
| `samples` | moments and values, and their percentiles |
| `objectives`, `result` | what was promised, and what came of it |
| `summary` | the table for a terminal |
| `page`, `charts` | the HTML report |
"""
