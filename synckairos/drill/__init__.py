"""A primary, two replicas and three Sentinels here, to try the service with and to break on purpose.

`sentinel/up` and `sentinel/drill` at the top of the repository run what is here, with the configurations that
stand beside them.
"""
