import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The root of the repository, with a slash at its end. */
export const root: string = fileURLToPath(new URL('../../', import.meta.url))

interface Manifest {
  readonly name: string
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>
  readonly bin?: Readonly<Record<string, string>>
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

/** The package's own package.json. */
export const manifest: Manifest = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))

/** A way into the package: `.` or `./keys`, the specifier that a user writes, and the file with its types. */
export interface EntryPoint {
  readonly subpath: string
  readonly specifier: string
  readonly types: string
}

/** Every subpath that leads to code. */
export const entryPoints: readonly EntryPoint[] = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
  typeof target === 'string'
    ? []
    : [{ subpath, specifier: `${manifest.name}${subpath.slice(1)}`, types: `${root}${target.types.slice(2)}` }],
)
