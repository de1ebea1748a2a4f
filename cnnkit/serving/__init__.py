"""A trained net behind HTTP: `cnnkit serve`. Needs the extra ``cnnkit[serve]``; see docs/serving.md."""
