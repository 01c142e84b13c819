import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileLock } from 'evertoken/node'
import { afterEach, beforeEach, describe } from 'vitest'
import { itKeepsTheLeaseContract } from '../support/lease-contract.ts'
import { itKeepsTheLockContract } from '../support/with-lock-contract.ts'

describe('fileLock', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'evertoken-locks-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  itKeepsTheLockContract(() => ({ locks: [fileLock(folder), fileLock(folder)] }))

  itKeepsTheLeaseContract(() => ({
    createLock: (options) => fileLock(folder, options),
    place: { kind: 'file', place: folder },
  }))
})
