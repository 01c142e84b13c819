import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { root } from '../support/manifest.ts'
import { commandFaults, commandsOf } from './commands.ts'
import { compileErrors } from './compile.ts'
import { errorCodesIn } from './error-codes.ts'
import { type Block, blocksOf, codesInTables, pages } from './pages.ts'

const ERRORS = 'docs/reference/errors.md'
const LANGUAGES = ['ts', 'sh', 'bash', 'json', 'text', 'http']

const isShell = ({ language }: Block): boolean => language === 'sh' || language === 'bash'

describe('the pages', () => {
  const all = pages()
  const blocks = [...all].flatMap(([page, markdown]) => blocksOf(page, markdown))

  it('have a README among them, and a page of error codes', () => {
    expect([...all.keys()]).toEqual(expect.arrayContaining(['README.md', ERRORS]))
  })

  it('say of every block what it is, so that none is left unchecked', () => {
    const unknown = blocks.filter(({ language }) => !LANGUAGES.includes(language))
    expect(unknown.map(({ page, line, language }) => `${page}:${line} "${language}"`)).toEqual([])
  })

  it('show code that compiles against the built package', () => {
    const code = blocks.filter(({ language }) => language === 'ts')
    expect(compileErrors('pages', code)).toEqual([])
  })

  it('show commands that run', () => {
    expect(blocks.filter(isShell).flatMap(commandFaults)).toEqual([])
  })

  it('list the code of every error, and no other', () => {
    const listed = codesInTables(all.get(ERRORS) ?? '', 'code')
    expect([...new Set(listed)].sort()).toEqual(codesOfSource())
  })
})

describe('the check of the pages', () => {
  const page = (...lines: readonly string[]): readonly Block[] => blocksOf('docs/sample.md', lines.join('\n'))

  it('tells on which line of the page code does not compile', () => {
    const blocks = page('# Sample', '', '```ts', 'const a: number = 1', 'const b: string = a', '```')
    expect(compileErrors('faulty', blocks)).toEqual([expect.stringMatching(/^docs\/sample\.md:5 error TS\d+/)])
  })

  it('knows the types of the package', () => {
    const blocks = page('```ts', "import { nothing } from 'evertoken'", 'nothing()', '```')
    expect(compileErrors('types', blocks)).toEqual([expect.stringMatching(/^docs\/sample\.md:2 error TS2305/)])
  })

  it('lets a block continue the one before it, and lean on what a comment above it declares', () => {
    const blocks = page(
      '<!-- ts: declare const secret: string -->',
      '',
      '```ts',
      'const a = secret.length',
      '```',
      '',
      '- in a list:',
      '',
      '  ```ts continued',
      '  const b: string = a',
      '  ```',
    )
    expect(compileErrors('continued', blocks)).toEqual([expect.stringMatching(/^docs\/sample\.md:10 error TS2322/)])
  })

  it('undoes prompts, comments and continued lines of a shell', () => {
    expect(commandsOf('# first\n$ npm ci && npm test # all\nnpm run demo \\\n  -- --once\n')).toEqual([
      'npm ci',
      'npm test',
      'npm run demo -- --once',
    ])
  })

  const commands = [
    { command: 'npm ci', fault: undefined },
    { command: 'npm test', fault: undefined },
    { command: 'npm run demo -- --once', fault: undefined },
    { command: 'npm install evertoken', fault: undefined },
    { command: 'npx vitest run test/docs', fault: undefined },
    { command: 'npm run dmeo', fault: 'runs "dmeo", which is no script of package.json' },
    { command: 'npm install evertokn', fault: 'installs evertokn, neither this package nor a peer' },
    { command: 'npx vitest run test/nowhere', fault: 'needs test/nowhere, which does not exist' },
    { command: 'make all', fault: 'is no command that test/docs/commands.ts knows' },
  ]
  it.each(commands)('says of "$command" what keeps it from running', ({ command, fault }) => {
    const faults = page('```sh', command, '```').flatMap(commandFaults)
    expect(faults).toEqual(fault === undefined ? [] : [`docs/sample.md:2 "${command}" ${fault}`])
  })

  it('finds codes in literals, choices, functions and parameters', () => {
    const source = `
      function codeFor(status: number) { if (status > 1) return 'from_function'; return status ? 'a' : 'b' }
      function refused(code: string) { return new E('', { code }) }
      function pick(error: string) { if (error === 'compared') throw refused(error); throw refused('passed') }
      new E('', { code: 'literal' }); new E('', { code: x ? 'yes' : 'no' }); new E('', { code: codeFor(1) })
    `
    const codes = ['a', 'b', 'compared', 'from_function', 'literal', 'no', 'passed', 'yes']
    expect(errorCodesIn('sample.ts', source)).toEqual(codes)
  })

  it('reads the codes of a page from the tables that say so', () => {
    const table = '| Code | Meaning |\n| --- | --- |\n| `one` | first |\n\n| Option | |\n| --- | --- |\n| `two` | |\n'
    expect(codesInTables(table, 'code')).toEqual(['one'])
  })
})

function codesOfSource(): readonly string[] {
  const paths = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
  const files = paths.filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
  return [...new Set(files.flatMap((path) => errorCodesIn(path, readFileSync(`${root}src/${path}`, 'utf8'))))].sort()
}
