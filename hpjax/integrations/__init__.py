"""How do other tools see a study, and hpjax theirs? One tool a file; each is loaded when it is asked for."""
