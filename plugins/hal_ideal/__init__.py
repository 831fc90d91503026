"""The ideal reference: any NIR graph, in floating point, exactly as its semantics say."""
