import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { entryPoints, root } from '../support/manifest.ts'
import { type ApiReport, apiReports } from './api-report.ts'

// When the public API is meant to change: `npm run api:update`, and read the difference before it is committed.

const folder = fileURLToPath(new URL('.', import.meta.url))
const named = entryPoints.map((entry) => ({
  ...entry,
  name: entry.subpath === '.' ? 'index' : entry.subpath.slice(2).replaceAll('/', '-'),
}))

describe('the public API', () => {
  let reports: ReadonlyMap<string, ApiReport>
  beforeAll(() => {
    reports = apiReports(named)
  }, 60_000)

  it.each(named)('of $specifier is what test/api says', async ({ name }) => {
    await expect(reports.get(name)?.text).toMatchFileSnapshot(`${folder}${name}.api.md`)
  })

  it.each(named)('of $specifier explains every export', ({ name }) => {
    expect(reports.get(name)?.faults).toEqual([])
  })

  it('has no record of an entry point that is gone', () => {
    const expected = named.map(({ name }) => `${name}.api.md`)
    const recorded = readdirSync(folder).filter((file) => file.endsWith('.api.md'))
    expect(recorded.filter((file) => !expected.includes(file))).toEqual([])
  })
})

describe('a report on declarations', () => {
  const written = (name: string, text: string): ApiReport => {
    mkdirSync(`${root}build/api/samples`, { recursive: true })
    const types = `${root}build/api/samples/${name}.d.ts`
    writeFileSync(types, text)
    const report = apiReports([{ name: `sample-${name}`, types }]).get(`sample-${name}`)
    if (report === undefined) throw new Error(`no report on ${name}`)
    return report
  }

  it('tells of an export without TSDoc', () => {
    const { faults } = written('bare', '/** Explained. */\nexport declare const a: 1\nexport declare const b: 2\n')
    expect(faults).toEqual(['no TSDoc: export const b: 2;'])
  })

  it('tells of a link that leads nowhere', () => {
    const { faults } = written('link', '/** See {@link nowhere}. */\nexport declare const a: 1\n')
    expect(faults).toEqual([expect.stringContaining('nowhere')])
  })

  it('shows what the exports are made of, exported or not', () => {
    const { text } = written(
      'part',
      'interface Part { readonly x: 1 }\n/** Whole. */\nexport type Whole = Part\nexport {}\n',
    )
    expect(text).toContain('readonly x: 1')
  })
})
