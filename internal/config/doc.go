// Package config turns the configuration file, GBTPOOL_ environment variables and command-line
// flags into the settings that internal/app builds from.
//
// Every setting is a key of the YAML file (data_dir), a flag (--data-dir) and a variable
// (GBTPOOL_DATA_DIR); a flag goes before a variable, a variable before the file. Unknown keys are
// errors. Secrets are never settings themselves, only the files that hold them are.
package config
