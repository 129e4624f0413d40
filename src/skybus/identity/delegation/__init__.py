"""A part of somebody's roles in other hands: application credentials, trusts, OAuth."""
