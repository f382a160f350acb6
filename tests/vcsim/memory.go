// Data that is kept across restarts. With -memory FILE the VMs and their folders are stored in that file and restored
// at the next start, the VMs under their ids. With -journal FILE every clone, destruction and revert is recorded.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

type keptDisk struct {
	Key, Controller, Unit int32
	KB                    int64
	File                  string
}

type keptVM struct {
	ID, Folder, Name, Annotation string
	Options                      map[string]string
	On                           bool
	Disks                        []keptDisk // all except the first
}

type keptAll struct {
	Folders []string
	VMs     []keptVM
}

type memory struct {
	file    string
	journal *os.File
	mu      sync.Mutex
}

// idsOfAClone is the number of ids that the simulator allocates for one clone; the last is the VM's own.
const idsOfAClone = 3

// note appends a line to the journal: the time in epoch seconds, the event, the VM.
func (m *memory) note(what, vm string) {
	if m.journal == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(m.journal, "%.4f %s %s\n", float64(time.Now().UnixNano())/1e9, what, vm)
}

// save writes every VM to the file. A change is in the file before the client is informed that it is done.
func (m *memory) save() {
	if m.file == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all keptAll
	for _, e := range simulator.Map.All("Folder") {
		if where := pathOf(&e.Entity().Self); where != "" {
			all.Folders = append(all.Folders, where)
		}
	}
	for _, e := range simulator.Map.All("VirtualMachine") {
		simulator.Map.WithLock(e, func() {
			if vm := e.(*simulator.VirtualMachine); vm.Config.Uuid != "" { // it is empty while another task is creating the VM
				all.VMs = append(all.VMs, kept(vm))
			}
		})
	}
	sort.Slice(all.VMs, func(i, j int) bool { return number(all.VMs[i].ID) < number(all.VMs[j].ID) })
	text, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(m.file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(m.file+".new", m.file)
	}
	if err != nil {
		panic(err)
	}
}

func kept(vm *simulator.VirtualMachine) keptVM {
	known := keptVM{ID: vm.Self.Value, Folder: pathOf(vm.Parent), Name: vm.Name, Annotation: vm.Config.Annotation, Options: map[string]string{}}
	known.On = vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
	for _, o := range vm.Config.ExtraConfig {
		v := o.GetOptionValue()
		known.Options[v.Key] = fmt.Sprint(v.Value)
	}
	first := true
	for _, d := range vm.Config.Hardware.Device {
		disk, ok := d.(*types.VirtualDisk)
		if ok && !first {
			backing := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
			known.Disks = append(known.Disks, keptDisk{disk.Key, disk.ControllerKey, *disk.UnitNumber, disk.CapacityInKB, backing.FileName})
		}
		first = first && !ok
	}
	return known
}

// pathOf returns the path of a folder relative to the root folder of all VMs; empty for the root and folders outside.
func pathOf(ref *types.ManagedObjectReference) string {
	where := ""
	for ref != nil && *ref != simulator.Map.Any("Datacenter").(*simulator.Datacenter).VmFolder {
		folder, ok := simulator.Map.Get(*ref).(*simulator.Folder)
		if !ok {
			return ""
		}
		where = path.Join(folder.Name, where)
		if ref = folder.Parent; ref == nil {
			return ""
		}
	}
	return where
}

func number(id string) int {
	n, _ := strconv.Atoi(id[strings.LastIndex(id, "-")+1:])
	return n
}

// load restores the VMs of the file, if it exists.
func (m *memory) load(f *front) {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return
	}
	var all keptAll
	if err := json.Unmarshal(text, &all); err != nil {
		panic(err)
	}
	var source types.ManagedObjectReference
	for _, each := range all.VMs {
		ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: each.ID}
		folder := f.folder(each.Folder)
		if simulator.Map.Get(ref) != nil { // the VM that exists from the start
			source = ref
			_, _ = methods.PowerOffVM_Task(ctx, f.client, &types.PowerOffVM_Task{This: ref})
			_, _ = methods.MoveIntoFolder_Task(ctx, f.client, &types.MoveIntoFolder_Task{This: folder, List: []types.ManagedObjectReference{ref}})
			_, _ = methods.Rename_Task(ctx, f.client, &types.Rename_Task{This: ref, NewName: each.Name})
			continue
		}
		f.bringBack(each, source, folder)
	}
	for _, where := range all.Folders {
		f.folder(where)
	}
	for _, each := range all.VMs {
		f.dress(each)
	}
}

func (f *front) folder(where string) types.ManagedObjectReference {
	place := simulator.Map.Any("Datacenter").(*simulator.Datacenter).VmFolder
	for _, part := range strings.Split(where, "/") {
		if part == "" {
			continue
		}
		folder := simulator.Map.Get(place).(*simulator.Folder)
		if known := simulator.Map.FindByName(part, folder.ChildEntity); known != nil {
			place = known.Reference()
			continue
		}
		made, err := methods.CreateFolder(ctx, f.client, &types.CreateFolder{This: place, Name: part})
		if err != nil {
			panic(err)
		}
		place = made.Returnval
	}
	return place
}

// bringBack clones a VM again under its old id, because a vCenter never gives an id to another object.
func (f *front) bringBack(vm keptVM, source, folder types.ManagedObjectReference) {
	for next := 0; next < number(vm.ID)-idsOfAClone; {
		spent := simulator.Map.Put(&mo.Folder{}).Reference()
		simulator.Map.Remove(spent)
		next = number(spent.Value)
	}
	pool := simulator.Map.Get(source).(*simulator.VirtualMachine).ResourcePool
	spec := types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Pool: pool}, Config: &types.VirtualMachineConfigSpec{}}
	for key, value := range vm.Options {
		spec.Config.ExtraConfig = append(spec.Config.ExtraConfig, &types.OptionValue{Key: key, Value: value})
	}
	made, fault := f.cloneVM(&types.CloneVM_Task{This: source, Folder: folder, Name: vm.Name, Spec: spec})
	if fault != nil {
		panic(fmt.Sprintf("%s does not come back: %v", vm.Name, fault))
	}
	if id := made.(types.ManagedObjectReference).Value; id != vm.ID {
		panic(fmt.Sprintf("%s came back as %s instead of %s", vm.Name, id, vm.ID))
	}
}

// dress restores the annotation, the disks and the power state of a VM.
func (f *front) dress(vm keptVM) {
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: vm.ID}
	object := simulator.Map.Get(ref).(*simulator.VirtualMachine)
	devices := append([]types.BaseVirtualDevice{}, object.Config.Hardware.Device...)
	for _, each := range vm.Disks {
		unit := each.Unit
		backing := &types.VirtualDiskFlatVer2BackingInfo{VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: each.File}}
		device := types.VirtualDevice{Key: each.Key, ControllerKey: each.Controller, UnitNumber: &unit, Backing: backing}
		devices = append(devices, &types.VirtualDisk{VirtualDevice: device, CapacityInKB: each.KB})
	}
	f.update(object,
		types.PropertyChange{Name: "config.annotation", Val: vm.Annotation},
		types.PropertyChange{Name: "config.hardware.device", Val: devices})
	if vm.On {
		_, _ = methods.PowerOnVM_Task(ctx, f.client, &types.PowerOnVM_Task{This: ref})
		f.bootGuest(ref)
	}
}
