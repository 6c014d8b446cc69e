"""Pages to look at: the report of runs, the contact sheet of ``gantk infer``, and what ``gantk watch`` serves."""
