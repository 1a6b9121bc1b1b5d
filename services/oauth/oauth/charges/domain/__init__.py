"""Pure rules of charges: what may be asked, its states, its shares."""
