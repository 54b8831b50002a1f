package csi

import (
	"context"
	"log/slog"

	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// Registration is the service that kubelet calls to register a driver. Its socket is in kubelet's plugins_registry
// directory. It replaces the sidecar node-driver-registrar.
type Registration struct {
	registration.UnimplementedRegistrationServer
	// Driver is the name of the driver.
	Driver string
	// Endpoint is the path of the driver's socket on the host.
	Endpoint string
	// Log receives the result of the registration.
	Log *slog.Logger
}

// GetInfo returns where kubelet finds the driver.
func (r *Registration) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: r.Driver, Endpoint: r.Endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus logs whether kubelet accepted the driver. kubelet registers again after it restarts, or
// after the socket is created again.
func (r *Registration) NotifyRegistrationStatus(
	_ context.Context, s *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	if s.GetPluginRegistered() {
		r.Log.Info("kubelet registered the driver", "driver", r.Driver, "endpoint", r.Endpoint)
	} else {
		r.Log.Error("kubelet did not register the driver", "driver", r.Driver, "error", s.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}
