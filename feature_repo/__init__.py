"""WHERE Feast looks: this folder is Feast's feature repository, derived from `schemas/`.

`tidemark feast apply` sets the variables that `feature_store.yaml` names and runs Feast's own command line here. Feast
then imports every module of this folder but this one and registers the Feast objects among its module-level names; what
is not among them it deletes from the registry. It knows a module by its bare name: an object of a module that another
imports as `feature_repo.x` would be found twice and refused: only `definitions.py` has objects among its names, and
`objects.py`, which makes them, has functions only.

Does not belong here: what a feature is or means (`schemas/features.py`). Nothing else imports this package; the Feast
resource loads the module it is told, when it is needed, for importing Feast takes seconds.
"""
