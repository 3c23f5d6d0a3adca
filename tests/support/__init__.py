"""What our own tests share: small runs, kill campaigns, made records and boards, a server, the snippets of pages."""
