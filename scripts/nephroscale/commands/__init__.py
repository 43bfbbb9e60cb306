"""The commands of `nephroscale`: thin, over functions of the other rooms; each module adds its own to the parser."""
