// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package initramfs

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/mkuimage/cpio"
	"github.com/u-root/mkuimage/uimage"
	uinitramfs "github.com/u-root/mkuimage/uimage/initramfs"
	"github.com/u-root/mkuimage/uimage/templates"
	"github.com/u-root/uio/llog"

	"github.com/initddi/initddi/internal/linetables"
)

// Template is a configuration of a mkuimage template file: which Go commands to build into the busybox.
type Template struct {
	File   string // path of the template file
	Config string // name of the configuration in it
	// Dir is a directory of the module that names the versions of all commands in its go.mod. Relative paths of commands and
	// files in the template file are relative to it. It is the current directory if empty.
	Dir string
	// GOARCH is the architecture to build for, if the template does not say. It is the host's if empty.
	GOARCH string
	// Tags are build tags beside those that the template has.
	Tags []string
	// Without leaves these commands of the template out, to see what they cost.
	Without []string
	// Lines leaves the programs what they know of source files and lines. It is in no stack trace without, and they are loaded no
	// differently.
	Lines bool
	// Symbols leaves the symbol table in the busybox, to see what it consists of. It is loaded no differently.
	Symbols bool
}

// buildArgs are added to the go command, behind gobusybox's own arguments.
//
//   - gobusybox passes -a, which compiles the standard library each time; the result is the same without.
//   - It builds in GOPATH mode, where the toolchain chooses the defaults of Go 1.20 for all GODEBUG settings, among them
//     weak TLS and X.509 ones; the linker flag empties that list. As -ldflags replaces gobusybox's, those are repeated.
var buildArgs = [...]string{"-a=false", "-ldflags=-s -w -buildid= -X=runtime.godebugDefault="}

// symbolArgs are the same with a symbol table, but without the line tables for debuggers.
var symbolArgs = [...]string{"-a=false", "-ldflags=-w -buildid= -X=runtime.godebugDefault="}

// build builds the commands and returns what mkuimage would put into its archive.
func (t Template) build(ctx context.Context, progress func(string)) ([]cpio.Record, error) {
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot find the module: %w", err)
	}
	if err := checkModule(dir); err != nil {
		return nil, fmt.Errorf("cannot build %s of %s: %w", t.Config, t.File, err)
	}
	env, err := t.environ(ctx, dir)
	if err != nil {
		return nil, err
	}
	mods, err := t.modifiers(dir)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "initddi-initramfs")
	if err != nil {
		return nil, fmt.Errorf("cannot build the commands: %w", err)
	}
	defer os.RemoveAll(temp)
	archive := cpio.InMemArchive()
	opts, err := uimage.OptionsFor(append([]uimage.Modifier{
		uimage.WithReplaceEnv(env),
		uimage.WithTempDir(temp),
		uimage.WithOutput(&uinitramfs.Archive{Archive: archive}),
		uimage.WithSkipLDD(), // no libraries of the host
	}, mods...)...)
	if err != nil {
		return nil, fmt.Errorf("cannot build %s of %s: %w", t.Config, t.File, err)
	}
	if len(t.Without) > 0 {
		// The command that is init may be one of them.
		opts.InitCmd = ""
	}
	args := buildArgs[:]
	if t.Symbols {
		args = symbolArgs[:]
	}
	opts.Env.BuildTags = append(opts.Env.BuildTags, t.Tags...)
	for i := range opts.Commands {
		c := &opts.Commands[i]
		c.BuildOpts = &golang.BuildOpts{ExtraArgs: args}
		c.Packages = slices.DeleteFunc(slices.Clone(c.Packages), func(p string) bool { return slices.Contains(t.Without, p) })
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	warnMicroarchitecture(ctx, opts.Env, progress)
	l := llog.New(slog.LevelWarn, func(format string, v ...any) { progress(strings.TrimSpace(fmt.Sprintf(format, v...))) })
	if err := opts.Create(l); err != nil {
		return nil, fmt.Errorf("cannot build %s of %s in %s: %w", t.Config, t.File, dir, err)
	}
	var records []cpio.Record
	for _, name := range archive.Order {
		if name == cpio.Trailer {
			continue
		}
		r, data, err := detach(archive.Files[name])
		if err != nil {
			return nil, err
		}
		if !t.Lines && bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
			if err := linetables.Remove(data); err != nil {
				progress(fmt.Sprintf("warning: cannot take line numbers out of %s, which makes it larger: %v", r.Name, err))
			}
		}
		records = append(records, r)
	}
	return records, nil
}

// Commands returns the commands of the template as it names them, and the build tags they are built with.
func (t Template) Commands() (commands, tags []string, err error) {
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot find the module: %w", err)
	}
	mods, err := t.modifiers(dir)
	if err != nil {
		return nil, nil, err
	}
	opts, err := uimage.OptionsFor(append([]uimage.Modifier{uimage.WithReplaceEnv(golang.Default(golang.DisableCGO()))}, mods...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read %s of %s: %w", t.Config, t.File, err)
	}
	for _, c := range opts.Commands {
		commands = append(commands, c.Packages...)
	}
	return commands, append(opts.Env.BuildTags, t.Tags...), nil
}

// checkModule looks for the go.mod that counts in a directory. What is said of a build without one is about a command's import path.
func checkModule(dir string) error {
	for at := dir; ; at = filepath.Dir(at) {
		_, err := os.Stat(filepath.Join(at, "go.mod"))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if at == filepath.Dir(at) {
			return fmt.Errorf("%s is %w", dir, ErrNoModule)
		}
	}
}

// environ returns the Go environment of the build.
func (t Template) environ(ctx context.Context, dir string) (*golang.Environ, error) {
	env := golang.Default(golang.DisableCGO(), golang.WithGOOS("linux"), golang.WithGOARCH(t.GOARCH), golang.WithWorkingDir(dir))
	// A program that was built with -trimpath does not know where Go is.
	if env.GOROOT == "" {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return nil, fmt.Errorf("cannot build commands: needs go (https://go.dev/dl, Debian package golang): %w", err)
		}
		env.GOROOT = string(bytes.TrimSpace(out))
	}
	return env, nil
}

// warnMicroarchitecture says so if the commands will not run on every processor of the architecture.
func warnMicroarchitecture(ctx context.Context, env *golang.Environ, progress func(string)) {
	if env.GOARCH != "amd64" {
		return
	}
	cmd := exec.CommandContext(ctx, filepath.Join(env.GOROOT, "bin", "go"), "env", "GOAMD64")
	if out, err := cmd.Output(); err == nil && string(bytes.TrimSpace(out)) != "v1" {
		progress(fmt.Sprintf("warning: GOAMD64=%s: the commands will not run on older processors", bytes.TrimSpace(out)))
	}
}

// modifiers returns what the template says.
func (t Template) modifiers(dir string) ([]uimage.Modifier, error) {
	file, err := templates.TemplateFromFile(t.File)
	if err != nil {
		return nil, fmt.Errorf("cannot read the template file %s: %w", t.File, err)
	}
	for name, config := range file.Configs {
		for i := range config.Commands {
			absolute(dir, config.Commands[i].Commands)
		}
		for i, f := range config.Files {
			// "SOURCE:DESTINATION", or one path that is both.
			source, dest, ok := strings.Cut(f, ":")
			if !ok {
				dest = strings.TrimPrefix(source, "/")
			}
			if !filepath.IsAbs(source) {
				source = filepath.Join(dir, source)
			}
			config.Files[i] = source + ":" + dest
		}
		file.Configs[name] = config
	}
	for _, commands := range file.Commands {
		absolute(dir, commands)
	}
	mods, err := file.Uimage(t.Config)
	if errors.Is(err, templates.ErrTemplateNotExist) || t.Config == "" {
		return nil, fmt.Errorf("%w: %q in %s, which has %s", ErrNoConfig, t.Config, t.File, strings.Join(sortedKeys(file.Configs), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use %s of %s: %w", t.Config, t.File, err)
	}
	return mods, nil
}

// absolute makes the relative paths among commands absolute, in place. mkuimage would take them from the current directory,
// of which a library cannot say what it is. A '-' in front excludes; import paths stay.
func absolute(dir string, commands []string) {
	for i, c := range commands {
		name, excluded := strings.CutPrefix(c, "-")
		if name != "." && !slices.ContainsFunc([]string{"./", "../"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		name = filepath.Join(dir, name)
		if excluded {
			name = "-" + name
		}
		commands[i] = name
	}
}
