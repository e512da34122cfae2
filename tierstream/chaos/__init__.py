"""The fault lab: breaks a local stack on purpose while load runs, then proves that nothing was lost or doubled."""
