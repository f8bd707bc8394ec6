"""What acts inside the model: sites, interventions, bundles, the bank and its run time."""
