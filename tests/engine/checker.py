"""The type checker of these tests: beartype, with an integer where a float is asked for, as PEP 484 has it."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
