"""All that the service does, at once, for an hour, while all that it needs dies and returns.

People ask, with and without a key; batches run; two reviewers decide; exports are read while
others write; two receivers are told of everything. Meanwhile processes, PostgreSQL, Redis, Azure
and one of the receivers are killed, stopped, slow or wrong, at moments that a seed draws. When all
is back nothing may be missing, twice, or paid without need, and who lived through it has not grown.
"""
