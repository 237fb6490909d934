import gc

# What is made while modules load stays for good: collecting meanwhile finds nothing.
gc.disable()

from app.cli import main  # noqa: E402

gc.enable()
main()
