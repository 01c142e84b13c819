import { existsSync } from 'node:fs'
import { manifest, root } from '../support/manifest.ts'
import type { Block } from './pages.ts'

/** A command that a page may show, and what keeps it from running here. */
interface Known {
  readonly pattern: RegExp
  readonly fault: (argument: string) => string | undefined
}

const KNOWN: readonly Known[] = [
  // Without scripts nothing is compiled: a module for HSMs, which only tests need, is.
  { pattern: /^npm (ci)(?: --ignore-scripts)?$/, fault: () => missing('package-lock.json') },
  { pattern: /^npm (test)$/, fault: scriptFault },
  { pattern: /^npm run ([\w:-]+)(?: -- .+)?$/, fault: scriptFault },
  { pattern: /^npm install (.+)$/, fault: installFault },
  { pattern: /^npx vitest run ?(.*)$/, fault: (paths) => firstFault(words(paths).map(missing)) },
  { pattern: /^cd (.+)$/, fault: (folder) => (folder === manifest.name ? undefined : 'is no folder of a fresh clone') },
  {
    pattern: /^(?:npx )?(evertoken)(?: .*)?$/,
    fault: (name) => (Object.hasOwn(manifest.bin ?? {}, name) ? undefined : 'is no program of this package'),
  },
]

/** The commands of a block, one a line; comments, a prompt and continued lines are undone, `&&` is two commands. */
export function commandsOf(text: string): readonly string[] {
  return text
    .replaceAll(/\\\n\s*/g, '')
    .split(/\n|&&/)
    .map((line) =>
      line
        .replace(/(?:^|\s)#.*$/, '')
        .replace(/^\s*\$ /, '')
        .trim(),
    )
    .filter((line) => line !== '')
}

/** What is wrong with the commands of a block, as `page:line message`. */
export function commandFaults({ page, line, text }: Block): readonly string[] {
  return commandsOf(text).flatMap((command) => {
    const fault = commandFault(command)
    return fault === undefined ? [] : [`${page}:${line} "${command}" ${fault}`]
  })
}

function commandFault(command: string): string | undefined {
  for (const { pattern, fault } of KNOWN) {
    const found = pattern.exec(command)
    if (found !== null) return fault(found[1] ?? '')
  }
  return 'is no command that test/docs/commands.ts knows'
}

function scriptFault(name: string): string | undefined {
  const script = manifest.scripts[name]
  if (script === undefined) return `runs "${name}", which is no script of package.json`
  return firstFault(
    commandsOf(script).map((command) => {
      const [program = '', ...rest] = words(command)
      if (program === 'npm') return rest[0] === 'run' ? scriptFault(rest[1] ?? '') : undefined
      if (program === 'sh') return missing(rest[0] ?? '')
      return program === 'node' ? undefined : missing(`node_modules/.bin/${program}`)
    }),
  )
}

function installFault(packages: string): string | undefined {
  const known = [manifest.name, ...Object.keys(manifest.peerDependencies ?? {})]
  const unknown = words(packages).filter((name) => !name.startsWith('-') && !known.includes(name))
  return unknown.length === 0 ? undefined : `installs ${unknown.join(', ')}, neither this package nor a peer`
}

function missing(path: string): string | undefined {
  return existsSync(`${root}${path}`) ? undefined : `needs ${path}, which does not exist`
}

function words(text: string): readonly string[] {
  return text.split(' ').filter((word) => word !== '')
}

function firstFault(faults: readonly (string | undefined)[]): string | undefined {
  return faults.find((fault) => fault !== undefined)
}
