// Package admission serves validating admission webhooks over TLS around a function that reviews one request. It knows nothing of
// what is reviewed: it reads and writes AdmissionReviews (admission.k8s.io v1 and v1beta1), bounds their size and time, and keeps
// the certificates: files, a given Secret, or an authority of its own that rotates without a gap.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Request is what is to be reviewed, the same for both versions of AdmissionReview.
type Request struct {
	UID types.UID
	// Kind of the object, Resource and SubResource of the request.
	Kind        metav1.GroupVersionKind
	Resource    metav1.GroupVersionResource
	SubResource string
	// Namespace and Name of the request; a subresource's object may name them too.
	Namespace, Name string
	Operation       string
	DryRun          bool
	// Object as JSON; empty where there is none.
	Object []byte
}

// Response is the answer; the zero value denies with code 400.
type Response struct {
	Allowed bool
	// Code and Reason of the Status that a denied client gets, for example 429 and TooManyRequests.
	Code    int32
	Reason  metav1.StatusReason
	Message string
	// Warnings are shown to the client whether it is denied or not.
	Warnings []string
}

// Review answers a request. Its context ends when the answer would come too late.
type Review func(context.Context, Request) Response

// ErrMalformed says that what came is no AdmissionReview that can be answered.
var ErrMalformed = errors.New("no AdmissionReview")

// decode reads a review. Any JSON is fine as its object.
func decode(body []byte) (apiVersion string, r Request, err error) {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return "", Request{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case review.Kind != "AdmissionReview":
		return "", Request{}, fmt.Errorf("%w: kind is %.64q", ErrMalformed, review.Kind)
	// v1beta1 differs from v1 only in what has to be answered.
	case review.APIVersion != admissionv1.SchemeGroupVersion.String() && review.APIVersion != admissionv1beta1.SchemeGroupVersion.String():
		return "", Request{}, fmt.Errorf("%w: apiVersion is %.64q, and may be admission.k8s.io/v1 or v1beta1", ErrMalformed, review.APIVersion)
	case review.Request == nil:
		return "", Request{}, fmt.Errorf("%w: request is missing", ErrMalformed)
	case review.Request.UID == "":
		return "", Request{}, fmt.Errorf("%w: request.uid is missing", ErrMalformed)
	}
	in := review.Request
	return review.APIVersion, Request{
		UID: in.UID, Kind: in.Kind, Resource: in.Resource, SubResource: in.SubResource, Namespace: in.Namespace, Name: in.Name,
		Operation: string(in.Operation), DryRun: in.DryRun != nil && *in.DryRun, Object: in.Object.Raw,
	}, nil
}

func encode(apiVersion string, uid types.UID, r Response) ([]byte, error) {
	response := &admissionv1.AdmissionResponse{UID: uid, Allowed: r.Allowed, Warnings: r.Warnings}
	if !r.Allowed || r.Message != "" {
		response.Result = &metav1.Status{Message: r.Message}
	}
	if !r.Allowed {
		// Neither details nor retryAfterSeconds: with those clients would try again silently, and show the message to nobody.
		response.Result.Status, response.Result.Code, response.Result.Reason = metav1.StatusFailure, r.Code, r.Reason
	}
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: apiVersion},
		Response: response,
	}
	data, err := json.Marshal(review)
	if err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return data, nil
}
