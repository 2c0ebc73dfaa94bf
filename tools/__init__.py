"""Work of a maintainer, in a checkout: a release."""
