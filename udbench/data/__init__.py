"""From a domain's images where they lie to a store that training reads at memory speed."""
