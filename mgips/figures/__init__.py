"""The figures of the repository, drawn by the package: `make figures`."""
