import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base } from './fixtures.ts'

interface Files {
  /** A folder of this test, removed after it. */
  readonly folder: string
  /** Writes a file there, by default one that only its owner can read, and tells where. */
  readonly file: (text: string, mode?: number) => string
}

/** `test` with files. */
export const test = base.extend<Files>({
  // biome-ignore lint/correctness/noEmptyPattern: fixtures name what they use in their first parameter
  folder: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'evertoken-files-'))
    await use(folder)
    rmSync(folder, { recursive: true })
  },
  file: async ({ folder }, use) => {
    let count = 0
    await use((text, mode = 0o600) => {
      const path = join(folder, `file-${++count}`)
      writeFileSync(path, text)
      chmodSync(path, mode)
      return path
    })
  },
})
