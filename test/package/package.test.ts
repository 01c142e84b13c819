import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { entryPoints, manifest, root } from '../support/manifest.ts'
import { type Consumer, installedManifests, installPacked } from './packed.ts'

const specifiers = entryPoints.map(({ specifier }) => specifier)
const peers = Object.keys(manifest.peerDependencies ?? {})

describe('the packed package, installed alone', () => {
  let consumer: Consumer
  beforeAll(() => {
    consumer = installPacked()
  }, 120_000)
  afterAll(() => consumer?.remove())

  it('holds compiled code and types of src, and four files beside them', () => {
    const besides = consumer.packedFiles.filter((path) => !path.startsWith('dist/'))
    expect([...besides].sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
  })

  it('holds no code without a source: `npm run clean` removes what a deleted file left behind', () => {
    const sourceOf = (path: string): string => path.replace(/^dist\/(.+?)(?:\.d\.ts|\.js)$/, 'src/$1.ts')
    const dist = consumer.packedFiles.filter((path) => path.startsWith('dist/'))
    expect(dist.filter((path) => path.includes('.test.') || !existsSync(`${root}${sourceOf(path)}`))).toEqual([])
  })

  it('brings at most three packages with it, none of which runs a script when installed', () => {
    const manifests = installedManifests(consumer.folder)
    const names = [...manifests.keys()]
    expect(names).toContain(manifest.name)
    expect(names.filter((name) => name !== manifest.name).length).toBeLessThanOrEqual(3)
    const scripted = [...manifests].filter(([, { scripts }]) =>
      ['preinstall', 'install', 'postinstall'].some((name) => Object.hasOwn(Object(scripts), name)),
    )
    expect(scripted).toEqual([])
  })

  const ways = [
    { name: 'import', file: 'load.mjs', load: (specifier: string) => `import(${specifier})` },
    { name: 'require()', file: 'load.cjs', load: (specifier: string) => `require(${specifier})` },
  ]
  it.each(ways)('loads every entry point by $name, or names the optional peer that it misses', ({ file, load }) => {
    consumer.write(file, loader(load('specifier')))
    const outcomes: Readonly<Record<string, string>> = JSON.parse(consumer.run([file]))
    expect(Object.keys(outcomes)).toEqual(specifiers)
    for (const [specifier, outcome] of Object.entries(outcomes)) {
      const missing = peers.map((peer) => `missing ${peer}`)
      expect(['loaded', ...missing], specifier).toContain(outcome)
    }
  })

  it('installs its program', () => {
    const programs = Object.keys(manifest.bin ?? {})
    expect(programs).toContain(manifest.name)
    for (const name of programs) expect(consumer.runProgram(name, ['--version'])).toMatch(/^\d+\.\d+\.\d+\S*\n$/)
  })

  it('lets its package.json be required', () => {
    consumer.write('manifest.cjs', `console.log(require('${manifest.name}/package.json').name)`)
    expect(consumer.run(['manifest.cjs']).trim()).toBe(manifest.name)
  })

  const surroundings = [
    { name: 'a browser', lib: ['ES2022', 'DOM', 'DOM.Iterable'], module: 'ESNext', moduleResolution: 'bundler' },
    { name: 'a worker', lib: ['ES2022', 'WebWorker'], module: 'ESNext', moduleResolution: 'bundler' },
    { name: 'Node', lib: ['ES2022'], types: ['node'], typeRoots: [`${root}node_modules/@types`], module: 'NodeNext' },
  ]
  it.each(surroundings)('has types that a strict program checks in full, for $name', ({ name, ...options }) => {
    const reachable = name === 'Node' ? specifiers : specifiers.filter((specifier) => !needsNode(specifier))
    const uses = reachable.map((specifier, index) => `import * as e${index} from '${specifier}'\nvoid e${index}\n`)
    const compilerOptions = { types: [], target: 'ES2022', strict: true, skipLibCheck: false, noEmit: true, ...options }
    consumer.write('consumer.mts', uses.join(''))
    consumer.write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['consumer.mts'] }))
    expect(typeErrors(consumer)).toEqual([])
  })
})

/** What tsconfig.node.json compiles is not meant for other surroundings. */
function needsNode(specifier: string): boolean {
  const { include }: { readonly include: readonly string[] } = JSON.parse(
    readFileSync(`${root}tsconfig.node.json`, 'utf8'),
  )
  return include.includes(`src/${specifier.split('/')[1]}`)
}

/** A peer that is not installed has no types either. */
function typeErrors(consumer: Consumer): readonly string[] {
  const missing = peers.map((peer) => `TS2307: Cannot find module '${peer}`)
  return compilerOutput(consumer)
    .split('\n')
    .filter((line) => line !== '' && !missing.some((part) => line.includes(part)))
}

function compilerOutput(consumer: Consumer): string {
  try {
    return consumer.run([`${root}node_modules/typescript/bin/tsc`, '-p', '.', '--pretty', 'false'])
  } catch (error) {
    return String(Object(error).stdout)
  }
}

function loader(load: string): string {
  return `
    const outcomes = {}
    const run = async () => {
      for (const specifier of ${JSON.stringify(specifiers)}) {
        try {
          await ${load}
          outcomes[specifier] = 'loaded'
        } catch (error) {
          const missing = /Cannot find (?:package|module) '([^']+)'/.exec(error.message)
          outcomes[specifier] = missing ? 'missing ' + missing[1] : String(error)
        }
      }
      console.log(JSON.stringify(outcomes))
    }
    run()
  `
}
