// Lets the shop's ORM write the migration from the database as it is to the shop's entities, and run it.
// Tells its parent the statements. With --dry it only writes.

'use strict';

const fs = require('fs');
const { generateMigration, runMigrations } = require('@vendure/core');
const { config } = require('./config');

// The ORM writes TypeScript. Without its types it is JavaScript.
function compile(file) {
    const source = fs.readFileSync(file, 'utf8')
        .replace(/^import .*$/m, '')
        .replace(/export class (\w+) implements MigrationInterface/, 'exports.$1 = class $1')
        .replace(/\(queryRunner: QueryRunner\): Promise<any>/g, '(queryRunner)')
        .replace(/public async/g, 'async');

    fs.writeFileSync(file.replace(/\.ts$/, '.js'), source);
    return [...source.split('async down')[0].matchAll(/queryRunner\.query\(`([^`]*)`/g)].map(match => match[1]);
}

async function migrate() {
    const name = `version-${process.env.SHOP_VERSION}`;
    const file = await generateMigration(config, { name, outputDir: process.env.SHOP_MIGRATIONS });
    const statements = file ? compile(file) : [];

    if (!process.argv.includes('--dry') && (await runMigrations(config)).length !== 1)
        throw new Error('the migration did not run');
    process.send({ statements });
    process.disconnect();
}

migrate().catch(error => {
    console.error(error);
    process.exit(1);
});
