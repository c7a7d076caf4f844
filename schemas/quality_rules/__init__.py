"""The rules that are declared beside the models: one module per dataset, each with `RULES` by table."""
