// Runs the shop until its parent disconnects, and tells it the port. With --populate it makes the assortment first.

'use strict';

const fs = require('fs');
const { bootstrap } = require('@vendure/core');
const { importProductsFromCsv, populateInitialData } = require('@vendure/core/cli');
const { config, initialData, products } = require('./config');

const header = 'name,slug,description,assets,facets,optionGroups,optionValues,sku,price,taxCategory,stockOnHand,' +
    'trackInventory,variantAssets,variantFacets';

async function populate(app) {
    const file = `${process.env.SHOP_MIGRATIONS}/products.csv`;
    const rows = products.map(([name, category, price, tax]) =>
        `${name},${name},A ${name},,category:${category},,,${name},${price / 100},${tax},1000,true,,`);

    fs.writeFileSync(file, [header, ...rows, ''].join('\n'));
    await populateInitialData(app, initialData);
    const { imported, errors } = await importProductsFromCsv(app, file, initialData.defaultLanguage);
    if (imported !== products.length)
        throw new Error(`imported ${imported} products: ${errors}`);
}

async function serve() {
    const app = await bootstrap(config);

    if (process.argv.includes('--populate'))
        await populate(app);
    process.on('disconnect', () => app.close().finally(() => process.exit()));
    process.send({ port: app.getHttpServer().address().port });
}

serve().catch(error => {
    console.error(error);
    process.exit(1);
});
