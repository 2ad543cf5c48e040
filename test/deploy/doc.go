// Package deploy tests what operators deploy: the compose file, the images, the systemd unit, the configuration of
// Redis, Caddy, Prometheus and Grafana, and the documents about them. It needs no container engine; each file is
// given to the program that will read it. It has no code.
package deploy
