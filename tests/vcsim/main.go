// Test vCenter: govmomi's simulator behind a small HTTP front, which adds what the
// tests of a pool manager need: asynchronous tasks with progress, clones that honour
// powerOn/host/annotation/folder errors, guests that "boot", injected failures.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"flag"
	"fmt"
	"io/ioutil"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type failure struct {
	n    int
	mode string // drop, lose (cut after execution), 503, hang:<ms>, task:<Fault>, soap:<Fault>
}

type front struct {
	svc    *simulator.Service
	client *vim25.Client
	mu     sync.Mutex
	delay  map[string]int // per *_Task method, ms
	pre    map[string]int // per method, ms before serving the SOAP call
	fails  map[string]*failure
	counts map[string]int
	conns  int
	bears  int           // up to this many clones at once are as fast as one; 0: any number
	crush  float64       // above that a clone takes (clones at once / bears) to this power times as long
	busy   int           // clones in progress
	boot   time.Duration // power-on until the guest reports its name and address
	net    string        // the first two numbers of the guests' addresses
	nextIP int
	clone  sync.Mutex
	open   map[net.Conn]bool
	down   time.Time // every request is cut until then
	// the devices at the time of each snapshot, by the snapshot's id; the simulator does not store them
	devices map[string][]types.BaseVirtualDevice
	memory  memory
}

var ctx = context.Background()

const soapHead = xml.Header + `<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>`
const soapTail = `</soapenv:Body></soapenv:Envelope>`

func reply(w http.ResponseWriter, code int, body string) {
	w.WriteHeader(code)
	fmt.Fprint(w, soapHead, body, soapTail)
}

func soapFault(w http.ResponseWriter, kind, msg, inner string) {
	reply(w, 500, fmt.Sprintf(`<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>%s</faultstring><detail><%sFault xmlns="urn:vim25" xsi:type="%s">%s</%sFault></detail></soapenv:Fault>`, msg, kind, kind, inner, kind))
}

func newFault(name string) types.BaseMethodFault {
	switch name {
	case "ResourceInUse":
		return new(types.ResourceInUse)
	case "InsufficientResourcesFault":
		return new(types.InsufficientResourcesFault)
	case "NoDiskSpace":
		return &types.NoDiskSpace{Datastore: "LocalDS_0"}
	case "NoPermission":
		return &types.NoPermission{Object: vim25.ServiceInstance, PrivilegeId: "VirtualMachine.Provisioning.DeployTemplate"}
	case "TaskInProgress":
		return &types.TaskInProgress{Task: types.ManagedObjectReference{Type: "Task", Value: "task-0"}}
	case "HostConnectFault":
		return new(types.HostConnectFault)
	}
	return new(types.SystemError)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := ioutil.ReadAll(r.Body)
	r.Body = ioutil.NopCloser(bytes.NewReader(body))
	m, err := simulator.UnmarshalBody(types.TypeFunc(), body)
	if err != nil {
		f.svc.ServeSDK(w, r)
		return
	}
	name := m.Name
	f.mu.Lock()
	f.counts[name]++
	pre := f.pre[name]
	var fl *failure
	if x := f.fails[name]; x != nil && x.n != 0 {
		x.n--
		y := *x
		fl = &y
	}
	d, async := f.delay[name]
	down := time.Now().Before(f.down)
	f.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if pre > 0 {
		time.Sleep(time.Duration(pre) * time.Millisecond)
	}
	var taskFault types.BaseMethodFault
	if fl != nil {
		p := strings.SplitN(fl.mode, ":", 2)
		switch p[0] {
		case "drop":
			panic(http.ErrAbortHandler)
		case "lose": // it is carried out, but the client gets no reply
			defer panic(http.ErrAbortHandler)
			w = httptest.NewRecorder()
		case "503":
			http.Error(w, "Service Unavailable", 503)
			return
		case "hang":
			ms, _ := strconv.Atoi(p[1])
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		case "soap":
			soapFault(w, p[1], "injected", "")
			return
		case "task":
			taskFault = newFault(p[1])
			async = true
		}
	}
	if wait, ok := m.Body.(*types.WaitForUpdatesEx); ok && wait.Version == "" {
		// the simulator misses changes between its first answer and the wait of the next call
		f.clone.Lock()
		defer f.clone.Unlock()
	}
	op := f.operation(m)
	if op == nil || !(async || name == "CloneVM_Task" || name == "PowerOnVM_Task" || name == "CreateSnapshot_Task" || name == "ReconfigVM_Task" || name == "RevertToSnapshot_Task" || name == "MigrateVM_Task" || name == "CreateVirtualDisk_Task") {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				if name == "Fetch" { // an unset property panics in this simulator; a vCenter returns an empty response
					reply(w, 200, `<FetchResponse xmlns="urn:vim25"></FetchResponse>`)
					return
				}
				soapFault(w, "SystemError", "simulator panic: "+fmt.Sprint(p), "<reason>panic</reason>")
			} else if p != nil {
				panic(p)
			}
		}()
		if name == "Destroy_Task" {
			f.noteDestroy(m)
		}
		f.svc.ServeSDK(w, r)
		if strings.HasSuffix(name, "_Task") || name == "CreateFolder" {
			f.memory.save()
		}
		return
	}
	// check the session: send the caller's cookie to the simulator
	probe := httptest.NewRecorder()
	pr := r.Clone(ctx)
	pr.Body = ioutil.NopCloser(strings.NewReader(soapHead + `<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>` + soapTail))
	f.svc.ServeSDK(probe, pr)
	if probe.Code != 200 {
		w.WriteHeader(probe.Code)
		_, _ = w.Write(probe.Body.Bytes())
		return
	}
	if simulator.Map.Get(m.This) == nil {
		soapFault(w, "ManagedObjectNotFound", "managed object not found: "+m.This.String(), fmt.Sprintf(`<obj type="%s">%s</obj>`, m.This.Type, m.This.Value))
		return
	}
	if ref := f.missingRef(m); ref != nil {
		soapFault(w, "ManagedObjectNotFound", "managed object not found: "+ref.String(), fmt.Sprintf(`<obj type="%s">%s</obj>`, ref.Type, ref.Value))
		return
	}
	clone, isClone := m.Body.(*types.CloneVM_Task)
	if isClone {
		f.memory.note("clone", clone.Name)
	}
	kind := strings.TrimSuffix(strings.ToLower(name[:1])+name[1:], "_Task")
	task := simulator.CreateTask(f.entity(m), strings.Replace(kind, "cloneVM", "clone", 1), func(t *simulator.Task) (types.AnyType, types.BaseMethodFault) {
		if isClone {
			defer f.memory.note("cloned", clone.Name)
		}
		if isClone {
			f.count(1)
			defer f.count(-1)
		}
		for i := 0; d > 0 && i < 10; i++ {
			f.work(time.Duration(d)*time.Millisecond/10, isClone)
			f.update(t, types.PropertyChange{Name: "info.progress", Val: int32(i*10 + 9)})
		}
		if taskFault != nil {
			return nil, taskFault
		}
		if name == "Destroy_Task" {
			f.noteDestroy(m)
		}
		defer f.memory.save()
		return op()
	})
	if async {
		go task.Run()
	} else {
		task.Run()
	}
	reply(w, 200, fmt.Sprintf(`<%sResponse xmlns="urn:vim25"><returnval type="Task">%s</returnval></%sResponse>`, name, task.Self.Value, name))
}

func (f *front) count(clones int) {
	f.mu.Lock()
	f.busy += clones
	f.mu.Unlock()
}

// work sleeps for the given time. A clone takes longer while more than f.bears clones are in progress.
func (f *front) work(left time.Duration, isClone bool) {
	const glance = 20 * time.Millisecond
	for left > 0 {
		pause, slow := left, 1.0
		if isClone {
			f.mu.Lock()
			if f.bears > 0 && f.busy > f.bears {
				slow = math.Pow(float64(f.busy)/float64(f.bears), f.crush)
			}
			f.mu.Unlock()
			pause = glance
			if whole := time.Duration(float64(left) * slow); whole < pause {
				pause = whole
			}
		}
		began := time.Now()
		time.Sleep(pause)
		left -= time.Duration(float64(time.Since(began)) / slow)
	}
}

func (f *front) update(o mo.Reference, ch ...types.PropertyChange) {
	simulator.Map.WithLock(o, func() { simulator.Map.Update(o, ch) })
}

// noteDestroy notes the destruction of a VM that exists; the order may come again when it is gone.
func (f *front) noteDestroy(m *simulator.Method) {
	if vm, ok := simulator.Map.Get(m.This).(*simulator.VirtualMachine); ok {
		f.memory.note("destroy", vm.Name)
	}
}

func (f *front) entity(m *simulator.Method) mo.Reference {
	switch o := simulator.Map.Get(m.This).(type) {
	case *simulator.VirtualMachineSnapshot:
		return simulator.Map.Get(o.Vm)
	case mo.Entity:
		return o
	}
	return simulator.Map.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content.RootFolder
}

func (f *front) missingRef(m *simulator.Method) *types.ManagedObjectReference {
	var refs []*types.ManagedObjectReference
	switch r := m.Body.(type) {
	case *types.CloneVM_Task:
		refs = append(refs, &r.Folder, r.Spec.Location.Pool, r.Spec.Location.Host, r.Spec.Location.Datastore, r.Spec.Snapshot)
	case *types.RelocateVM_Task:
		refs = append(refs, r.Spec.Pool, r.Spec.Host, r.Spec.Datastore, r.Spec.Folder)
	case *types.MigrateVM_Task:
		refs = append(refs, r.Host, r.Pool)
	}
	for _, x := range refs {
		if x != nil && simulator.Map.Get(*x) == nil {
			return x
		}
	}
	return nil
}

// inner returns the result of an inner task, which has already finished
func inner(ref types.ManagedObjectReference, err error) (types.AnyType, types.BaseMethodFault) {
	if err != nil {
		if soap.IsSoapFault(err) {
			if x, ok := soap.ToSoapFault(err).VimFault().(types.BaseMethodFault); ok {
				return nil, x
			}
			if x, ok := soap.ToSoapFault(err).Detail.Fault.(types.BaseMethodFault); ok {
				return nil, x
			}
		}
		return nil, &types.SystemError{Reason: err.Error()}
	}
	t := simulator.Map.Get(ref).(*simulator.Task)
	if t.Info.Error != nil {
		return nil, t.Info.Error.Fault
	}
	return t.Info.Result, nil
}

// operation returns the function that performs a *_Task method, to be run now or later; nil for other methods.
func (f *front) operation(m *simulator.Method) func() (types.AnyType, types.BaseMethodFault) {
	type res = types.AnyType
	type flt = types.BaseMethodFault
	switch r := m.Body.(type) {
	case *types.CloneVM_Task:
		return func() (res, flt) { return f.cloneVM(r) }
	case *types.PowerOnVM_Task:
		return func() (res, flt) {
			x, err := methods.PowerOnVM_Task(ctx, f.client, r)
			if err != nil {
				return inner(types.ManagedObjectReference{}, err)
			}
			v, e := inner(x.Returnval, nil)
			if e == nil {
				f.bootGuest(r.This)
			}
			return v, e
		}
	case *types.PowerOffVM_Task:
		return func() (res, flt) {
			x, err := methods.PowerOffVM_Task(ctx, f.client, r)
			if err != nil {
				return inner(types.ManagedObjectReference{}, err)
			}
			return inner(x.Returnval, nil)
		}
	case *types.Destroy_Task:
		return func() (res, flt) {
			x, err := methods.Destroy_Task(ctx, f.client, r)
			if err != nil {
				return inner(types.ManagedObjectReference{}, err)
			}
			return inner(x.Returnval, nil)
		}
	case *types.CreateSnapshot_Task:
		return func() (res, flt) {
			vm := simulator.Map.Get(r.This).(*simulator.VirtualMachine)
			x, err := methods.CreateSnapshot_Task(ctx, f.client, r)
			if err != nil {
				return inner(types.ManagedObjectReference{}, err)
			}
			v, e := inner(x.Returnval, nil)
			if e == nil {
				f.mu.Lock()
				f.devices[v.(types.ManagedObjectReference).Value] = append([]types.BaseVirtualDevice{}, vm.Config.Hardware.Device...)
				f.mu.Unlock()
			}
			return v, e
		}
	case *types.RevertToSnapshot_Task:
		return func() (res, flt) {
			snapshot := simulator.Map.Get(r.This).(*simulator.VirtualMachineSnapshot)
			vm := simulator.Map.Get(snapshot.Vm).(*simulator.VirtualMachine)
			x, err := methods.RevertToSnapshot_Task(ctx, f.client, r)
			if err != nil {
				return inner(types.ManagedObjectReference{}, err)
			}
			v, e := inner(x.Returnval, nil)
			if e == nil { // the simulator does not restore the devices
				f.memory.note("revert", vm.Name)
				f.mu.Lock()
				devices := f.devices[r.This.Value]
				f.mu.Unlock()
				f.update(vm, types.PropertyChange{Name: "config.hardware.device", Val: append([]types.BaseVirtualDevice{}, devices...)})
			}
			return v, e
		}
	case *types.ReconfigVM_Task:
		return func() (res, flt) {
			x, err := methods.ReconfigVM_Task(ctx, f.client, r)
			if err != nil {
				return inner(types.ManagedObjectReference{}, err)
			}
			v, e := inner(x.Returnval, nil)
			if e == nil && r.Spec.Annotation != "" { // the simulator reports no update for it
				f.update(simulator.Map.Get(r.This).(*simulator.VirtualMachine), types.PropertyChange{Name: "config.annotation", Val: r.Spec.Annotation})
			}
			return v, e
		}
	case *types.CreateVirtualDisk_Task:
		return func() (res, flt) {
			x, err := methods.CreateVirtualDisk_Task(ctx, f.client, r)
			if err != nil {
				return inner(types.ManagedObjectReference{}, err)
			}
			return inner(x.Returnval, nil)
		}
	case *types.RelocateVM_Task:
		return func() (res, flt) { return f.relocate(r) }
	case *types.MigrateVM_Task:
		return func() (res, flt) {
			return f.relocate(&types.RelocateVM_Task{This: r.This, Spec: types.VirtualMachineRelocateSpec{Host: r.Host, Pool: r.Pool}})
		}
	}
	return nil
}

func (f *front) relocate(r *types.RelocateVM_Task) (types.AnyType, types.BaseMethodFault) {
	vm := simulator.Map.Get(r.This).(*simulator.VirtualMachine)
	from := *vm.Runtime.Host
	x, err := methods.RelocateVM_Task(ctx, f.client, r)
	if err != nil {
		return inner(types.ManagedObjectReference{}, err)
	}
	v, e := inner(x.Returnval, nil)
	if e == nil && r.Spec.Host != nil { // the simulator does not update host.vm
		a, b := simulator.Map.Get(from).(*simulator.HostSystem), simulator.Map.Get(*r.Spec.Host).(*simulator.HostSystem)
		simulator.Map.RemoveReference(a, &a.Vm, vm.Self)
		simulator.Map.AddReference(b, &b.Vm, vm.Self)
	}
	return v, e
}

func (f *front) cloneVM(r *types.CloneVM_Task) (types.AnyType, types.BaseMethodFault) {
	f.clone.Lock()
	defer f.clone.Unlock()
	src, ok := simulator.Map.Get(r.This).(*simulator.VirtualMachine)
	if !ok {
		return nil, &types.ManagedObjectNotFound{Obj: r.This}
	}
	folder, ok := simulator.Map.Get(r.Folder).(*simulator.Folder)
	if !ok {
		return nil, &types.ManagedObjectNotFound{Obj: r.Folder}
	}
	var dup mo.Entity
	simulator.Map.WithLock(folder, func() { dup = simulator.Map.FindByName(r.Name, folder.ChildEntity) })
	if dup != nil {
		return nil, &types.DuplicateName{Name: r.Name, Object: dup.Reference()}
	}
	// the simulator re-uses the source's disk objects for the clone: keep copies
	var keep []types.BaseVirtualDevice
	simulator.Map.WithLock(src, func() {
		for _, d := range src.Config.Hardware.Device {
			if disk, ok := d.(*types.VirtualDisk); ok {
				c := *disk
				if b, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
					bc := *b
					c.Backing = &bc
				}
				d = &c
			}
			keep = append(keep, d)
		}
	})
	power := r.Spec.PowerOn
	x, err := methods.CloneVM_Task(ctx, f.client, r)
	f.update(src, types.PropertyChange{Name: "config.hardware.device", Val: keep})
	if err != nil {
		return inner(types.ManagedObjectReference{}, err)
	}
	v, e := inner(x.Returnval, nil)
	if e != nil {
		return v, e
	}
	ref := v.(types.ManagedObjectReference)
	if c := r.Spec.Config; c != nil && c.Annotation != "" {
		_, _ = methods.ReconfigVM_Task(ctx, f.client, &types.ReconfigVM_Task{This: ref, Spec: types.VirtualMachineConfigSpec{Annotation: c.Annotation}})
	}
	if h := r.Spec.Location.Host; h != nil {
		_, _ = f.relocate(&types.RelocateVM_Task{This: ref, Spec: types.VirtualMachineRelocateSpec{Host: h}})
	}
	if power {
		p, err := methods.PowerOnVM_Task(ctx, f.client, &types.PowerOnVM_Task{This: ref})
		if err != nil {
			return inner(types.ManagedObjectReference{}, err)
		}
		if _, e := inner(p.Returnval, nil); e != nil {
			return nil, e
		}
		f.bootGuest(ref)
	}
	return v, nil
}

// bootGuest makes the VM's guest report a name and a loopback address after the boot time.
func (f *front) bootGuest(ref types.ManagedObjectReference) {
	vm, ok := simulator.Map.Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return
	}
	f.update(vm, types.PropertyChange{Name: "runtime.bootTime", Val: time.Now()})
	f.mu.Lock()
	boot := f.boot
	f.mu.Unlock()
	if boot < 0 {
		return
	}
	time.AfterFunc(boot, func() {
		vm, ok := simulator.Map.Get(ref).(*simulator.VirtualMachine)
		if !ok || vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
			return
		}
		f.mu.Lock()
		f.nextIP++
		ip := fmt.Sprintf("%s.%d.%d", f.net, f.nextIP/250, f.nextIP%250+1)
		f.mu.Unlock()
		host := vm.Name
		for _, o := range vm.Config.ExtraConfig {
			if v := o.GetOptionValue(); v.Key == "guestinfo.hostname" {
				host = fmt.Sprint(v.Value)
			}
		}
		f.clone.Lock()
		defer f.clone.Unlock()
		f.update(vm,
			types.PropertyChange{Name: "guest.hostName", Val: host},
			types.PropertyChange{Name: "summary.guest.hostName", Val: host},
			types.PropertyChange{Name: "guest.ipAddress", Val: ip},
			types.PropertyChange{Name: "summary.guest.ipAddress", Val: ip},
			types.PropertyChange{Name: "guest.toolsRunningStatus", Val: "guestToolsRunning"})
	})
}

// ctl serves /ctl?delay=CloneVM_Task:2000&pre=...&fail=CloneVM_Task:3:task:NoDiskSpace&boot=500ms&host=NAME,cpu,mem,maint,status&down=500ms
func (f *front) ctl(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, vs := range r.URL.Query() {
		for _, v := range vs {
			p := strings.SplitN(v, ":", 3)
			switch k {
			case "delay":
				f.delay[p[0]], _ = strconv.Atoi(p[1])
			case "pre":
				f.pre[p[0]], _ = strconv.Atoi(p[1])
			case "fail":
				n, _ := strconv.Atoi(p[1])
				f.fails[p[0]] = &failure{n, p[2]}
			case "bear":
				f.bears, _ = strconv.Atoi(p[0])
				f.crush = 1
				if len(p) > 1 {
					f.crush, _ = strconv.ParseFloat(p[1], 64)
				}
			default:
				http.Error(w, "there is no query "+k, http.StatusBadRequest)
				return
			case "boot":
				f.boot, _ = time.ParseDuration(v)
			case "host":
				p := strings.Split(v, ",")
				for _, e := range simulator.Map.All("HostSystem") {
					h := e.(*simulator.HostSystem)
					if h.Name != p[0] {
						continue
					}
					cpu, _ := strconv.Atoi(p[1])
					mem, _ := strconv.Atoi(p[2])
					simulator.Map.WithLock(h, func() {
						h.Summary.QuickStats.OverallCpuUsage, h.Summary.QuickStats.OverallMemoryUsage = int32(cpu), int32(mem)
						h.Runtime.InMaintenanceMode = p[3] == "true"
						h.OverallStatus = types.ManagedEntityStatus(p[4])
						h.Summary.OverallStatus = h.OverallStatus
					})
				}
			case "down":
				d, _ := time.ParseDuration(v)
				f.down = time.Now().Add(d)
				time.AfterFunc(20*time.Millisecond, func() {
					f.mu.Lock()
					defer f.mu.Unlock()
					for c := range f.open {
						_ = c.Close()
					}
				})
			case "reset":
				f.counts = map[string]int{}
			}
		}
	}
	for k, n := range f.counts {
		fmt.Fprintf(w, "%s %d\n", k, n)
	}
	fmt.Fprintf(w, "conns %d\n", f.conns)
}

func main() {
	m := simulator.VPX()
	listen := flag.String("l", "127.0.0.1:8989", "listen address")
	useTLS := flag.Bool("tls", true, "serve TLS")
	cert := flag.String("tlscert", "", "PEM certificate")
	key := flag.String("tlskey", "", "PEM key")
	user := flag.String("username", "", "required user")
	pass := flag.String("password", "", "required password")
	idle := flag.Duration("session-timeout", 0, "idle session timeout (0: never)")
	stdinexit := flag.Bool("stdinexit", false, "exit when stdin closes")
	quiet := flag.Bool("q", true, "drop simulator log")
	boot := flag.Duration("boot", -1, "time from power-on to a guest that reports name and address (<0: never)")
	prefix := flag.String("net", "127.1", "the first two numbers of the guests' addresses")
	flag.IntVar(&m.Cluster, "cluster", m.Cluster, "clusters")
	flag.IntVar(&m.ClusterHost, "host", m.ClusterHost, "hosts per cluster")
	flag.IntVar(&m.Host, "standalone-host", m.Host, "standalone hosts")
	flag.IntVar(&m.Datastore, "ds", m.Datastore, "datastores")
	flag.IntVar(&m.Machine, "vm", m.Machine, "VMs per resource pool")
	flag.IntVar(&m.Pool, "pool", m.Pool, "extra resource pools")
	flag.BoolVar(&m.Autostart, "autostart", m.Autostart, "power VMs on")
	delay := flag.String("task-delay", "", "CloneVM_Task:ms,...  (these tasks run asynchronously)")
	memory := flag.String("memory", "", "the file that the VMs are kept in")
	journal := flag.String("journal", "", "the file that clones and destructions are noted in")
	flag.Parse()
	if *quiet {
		log.SetOutput(ioutil.Discard)
	}
	simulator.SessionIdleTimeout = *idle
	t0 := time.Now()
	if err := m.Create(); err != nil {
		panic(err)
	}
	defer m.Remove()
	m.Service.Listen = &url.URL{Host: "127.0.0.1:0"}
	if *user != "" {
		m.Service.Listen.User = url.UserPassword(*user, *pass)
	}
	inside := m.Service.NewServer() // registers the endpoints; its own listener is not used
	defer inside.Close()
	f := &front{svc: m.Service, delay: map[string]int{}, pre: map[string]int{}, fails: map[string]*failure{}, counts: map[string]int{}, boot: *boot, net: *prefix,
		open: map[net.Conn]bool{}, devices: map[string][]types.BaseVirtualDevice{}}
	for _, kv := range strings.Split(*delay, ",") {
		if p := strings.SplitN(kv, ":", 2); len(p) == 2 {
			f.delay[p[0]], _ = strconv.Atoi(p[1])
		}
	}
	var err error
	if f.client, err = vim25.NewClient(ctx, m.Service); err != nil {
		panic(err)
	}
	f.memory.file = *memory
	f.memory.load(f)
	if *journal != "" {
		if f.memory.journal, err = os.OpenFile(*journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			panic(err)
		}
		f.memory.note("start", "-")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ctl", f.ctl)
	mux.Handle("/sdk", f)
	mux.Handle("/", m.Service.ServeMux)
	srv := &http.Server{Handler: mux, ErrorLog: log.New(ioutil.Discard, "", 0), ConnState: func(c net.Conn, s http.ConnState) {
		f.mu.Lock()
		switch s {
		case http.StateNew:
			f.conns++
			f.open[c] = true
		case http.StateClosed, http.StateHijacked:
			delete(f.open, c)
		}
		f.mu.Unlock()
	}}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		panic(err)
	}
	if *useTLS {
		var c tls.Certificate
		if *cert != "" {
			c, err = tls.LoadX509KeyPair(*cert, *key)
		} else {
			err = fmt.Errorf("-tls needs -tlscert and -tlskey")
		}
		if err != nil {
			panic(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{c}})
	}
	go func() { _ = srv.Serve(l) }()
	c := m.Count()
	fmt.Printf("READY %s vms=%d hosts=%d model_ms=%d pid=%d\n", l.Addr(), c.Machine, c.Host, time.Since(t0).Milliseconds(), os.Getpid())
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGINT, syscall.SIGTERM)
	if *stdinexit {
		go func() { _, _ = ioutil.ReadAll(os.Stdin); sig <- syscall.SIGTERM }()
	}
	<-sig
}
