"""How classifiers are made: labelled prompts from the demo corpus and public sets, fitting, calibration, figures."""
