import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { blocksOf, pages } from '../docs/pages.ts'
import { root } from '../support/manifest.ts'

it.each(readdirSync(`${root}samples/kms`))('the page about %s shows the sample as it is', (file) => {
  const page = `docs/how-to/${file.replace(/\.ts$/, '.md')}`
  const first = blocksOf(page, pages().get(page) ?? '').find(({ language }) => language === 'ts')
  expect(`${first?.text}\n`).toBe(readFileSync(`${root}samples/kms/${file}`, 'utf8'))
})
