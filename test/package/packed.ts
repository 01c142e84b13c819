import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../support/manifest.ts'

/** A folder outside the repository in which nothing but the packed package is installed. */
export interface Consumer {
  readonly folder: string
  /** The files in the package, `/` between folders. */
  readonly packedFiles: readonly string[]
  /** What a program in that folder prints. */
  run(args: readonly string[]): string
  /** What a program that the package brings prints, called by the name that npm has put it under. */
  runProgram(name: string, args: readonly string[]): string
  write(name: string, text: string): void
  remove(): void
}

/** Packs the package as it would be published, and installs the result alone. */
export function installPacked(): Consumer {
  const folder = mkdtempSync(join(tmpdir(), 'evertoken-'))
  const consumer: Omit<Consumer, 'packedFiles'> = {
    folder,
    run: (args) => execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8', env: plainEnvironment() }),
    runProgram: (name, args) =>
      execFileSync(join(folder, 'node_modules/.bin', name), args, {
        cwd: folder,
        encoding: 'utf8',
        env: plainEnvironment(),
      }),
    write: (name, text) => writeFileSync(join(folder, name), text),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
  const [packed] = JSON.parse(npm(root, ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]))
  consumer.write('package.json', '{ "private": true }')
  npm(folder, [
    'install',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--prefix',
    folder,
    join(folder, packed.filename),
  ])
  const packedFiles = packed.files.map(({ path }: { readonly path: string }) => path)
  return { ...consumer, packedFiles }
}

/** The package.json of every package below `node_modules`, by the folder's name. */
export function installedManifests(folder: string): ReadonlyMap<string, Record<string, unknown>> {
  const paths = readdirSync(join(folder, 'node_modules'), { recursive: true, encoding: 'utf8' })
  const manifests = paths.filter((path) => /^(?:.*node_modules\/)?(?:@[^/]+\/)?[^/@.][^/]*\/package\.json$/.test(path))
  return new Map(
    manifests.map((path) => [
      path.slice(0, -'/package.json'.length),
      JSON.parse(readFileSync(join(folder, 'node_modules', path), 'utf8')),
    ]),
  )
}

function npm(cwd: string, args: readonly string[]): string {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', env: plainEnvironment() })
}

/** `npm test` tells its children about this repository; an npm elsewhere has to find its own folder. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(npm_package_|npm_lifecycle_|npm_config_local_prefix$|npm_config_prefix$|INIT_CWD$|NODE_OPTIONS$)/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
}
