package conf

// FileKeys lists every key a file may hold, those of a listener below "latticed.listeners".
func FileKeys() []string {
	var names []string
	for i := range keys {
		if k := &keys[i]; k.name != "" {
			names = append(names, join(section, k.name))
		}
		if keys[i].name == "listeners" {
			for _, l := range listenerKeys {
				names = append(names, join(section, join("listeners", l.name)))
			}
		}
	}
	return names
}
