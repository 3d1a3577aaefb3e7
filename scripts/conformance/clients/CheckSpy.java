import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import net.spy.memcached.AddrUtil;
import net.spy.memcached.CASResponse;
import net.spy.memcached.CASValue;
import net.spy.memcached.ConnectionFactoryBuilder;
import net.spy.memcached.MemcachedClient;

/** spymemcached, by text. */
public class CheckSpy {
    static void check(String what, boolean good) {
        System.out.println((good ? "ok " : "not ok ") + what);
    }

    static boolean yes(Future<Boolean> f) throws Exception {
        return f.get();
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        java.util.logging.Logger.getLogger("net.spy").setLevel(java.util.logging.Level.OFF);
        ConnectionFactoryBuilder factory = new ConnectionFactoryBuilder()
                .setProtocol(ConnectionFactoryBuilder.Protocol.TEXT).setOpTimeout(60000);
        MemcachedClient c = new MemcachedClient(factory.build(), AddrUtil.getAddresses(args[0] + ":" + args[1]));
        try {
            scenario(c);
        } finally {
            c.shutdown();
        }
    }

    static void scenario(MemcachedClient c) throws Exception {
        check("flush", yes(c.flush()));
        check("set", yes(c.set("k", 60, "v")));
        check("get", "v".equals(c.get("k")));
        check("miss", c.get("absent") == null);
        check("object", yes(c.set("o", 60, new ArrayList<>(List.of(1, "two")))) && List.of(1, "two").equals(c.get("o")));
        check("add", !yes(c.add("k", 60, "x")) && yes(c.add("fresh", 60, "x")));
        check("replace", yes(c.replace("k", 60, "v2")) && !yes(c.replace("absent", 60, "x")));
        check("append", yes(c.append("k", "w")) && yes(c.prepend("k", "u")) && "uv2w".equals(c.get("k")));
        check("append absent", !yes(c.append("absent", "x")));
        CASValue<Object> got = c.gets("k");
        check("cas", c.cas("k", got.getCas(), "v3") == CASResponse.OK);
        check("cas conflict", c.cas("k", got.getCas(), "v4") == CASResponse.EXISTS && "v3".equals(c.get("k")));
        check("cas absent", c.cas("absent", 1, "v") == CASResponse.NOT_FOUND);
        check("number", yes(c.set("n", 60, "9")) && c.incr("n", 2) == 11 && c.decr("n", 20) == 0);
        check("incr absent", c.incr("absent", 1) == -1);
        check("incr with a first value", c.incr("first", 5, 100) == 100 && c.incr("first", 5, 100) == 105);
        check("touch", yes(c.touch("n", 100)) && !yes(c.touch("absent", 100)));
        check("delete", yes(c.delete("n")) && !yes(c.delete("n")));
        List<String> keys = new ArrayList<>();
        List<Future<Boolean>> sets = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            keys.add("multi" + i);
            sets.add(c.set("multi" + i, 60, "v" + i));
        }
        boolean all = true;
        for (Future<Boolean> f : sets) {
            all &= f.get();
        }
        check("50 sets", all);
        Map<String, Object> many = c.getBulk(keys);
        check("multi", many.size() == 50 && "v49".equals(many.get("multi49")));
        for (int size : new int[] {1, 100000, 1000000, 1048500}) {
            byte[] value = new byte[size];
            new java.util.Random(1).nextBytes(value);
            check(size + " bytes", yes(c.set("big", 60, value)) && Arrays.equals(value, (byte[]) c.get("big")));
        }
        check("lifetime", yes(c.set("e", 3, "1")) && "1".equals(c.get("e")));
        Thread.sleep(4100);
        check("expired", c.get("e") == null);
        check("version", c.getVersions().values().iterator().next().startsWith("1.6."));
        check("stats", Integer.parseInt(c.getStats().values().iterator().next().get("curr_items")) > 50);
        check("stats settings", c.getStats("settings").values().iterator().next().containsKey("item_size_max"));
        check("flushed", yes(c.flush()) && c.get("k") == null);
    }
}
