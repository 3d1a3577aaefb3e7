import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import net.rubyeye.xmemcached.GetsResponse;
import net.rubyeye.xmemcached.MemcachedClient;
import net.rubyeye.xmemcached.XMemcachedClientBuilder;

/** XMemcached, by text. */
public class CheckX {
    static void check(String what, boolean good) {
        System.out.println((good ? "ok " : "not ok ") + what);
    }

    public static void main(String[] args) throws Exception {
        InetSocketAddress server = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
        XMemcachedClientBuilder builder = new XMemcachedClientBuilder(List.of(server));
        builder.setOpTimeout(60000);
        builder.setConnectionPoolSize(2);
        MemcachedClient c = builder.build();
        c.flushAll();
        check("set", c.set("k", 60, "v"));
        check("get", "v".equals(c.get("k")));
        check("miss", c.get("absent") == null);
        check("object", c.set("o", 60, new ArrayList<>(List.of(1, "two"))) && List.of(1, "two").equals(c.get("o")));
        check("add", !c.add("k", 60, "x") && c.add("fresh", 60, "x"));
        check("replace", c.replace("k", 60, "v2") && !c.replace("absent", 60, "x"));
        check("append", c.append("k", "w") && c.prepend("k", "u") && "uv2w".equals(c.get("k")));
        check("append absent", !c.append("absent", "x"));
        GetsResponse<String> got = c.gets("k");
        check("cas", "uv2w".equals(got.getValue()) && c.cas("k", 60, "v3", got.getCas()));
        check("cas conflict", !c.cas("k", 60, "v4", got.getCas()) && "v3".equals(c.get("k")));
        check("number", c.set("n", 60, "9") && c.incr("n", 2) == 11 && c.decr("n", 1) == 10);
        check("incr with a first value", c.incr("first", 5, 100) == 100 && c.incr("first", 5, 100) == 105);
        check("touch", c.touch("n", 100) && !c.touch("absent", 100));
        check("delete", c.delete("n") && !c.delete("n"));
        List<String> keys = new ArrayList<>();
        boolean all = true;
        for (int i = 0; i < 50; i++) {
            keys.add("multi" + i);
            all &= c.set("multi" + i, 60, "v" + i);
        }
        check("50 sets", all);
        Map<String, String> many = c.get(keys);
        check("multi", many.size() == 50 && "v49".equals(many.get("multi49")));
        check("multi gets", c.gets(keys).size() == 50);
        for (int size : new int[] {1, 100000, 1000000, 1048500}) {
            byte[] value = new byte[size];
            new java.util.Random(1).nextBytes(value);
            check(size + " bytes", c.set("big", 60, value) && Arrays.equals(value, c.get("big")));
        }
        byte[] large = new byte[2000000];
        new java.util.Random(1).nextBytes(large);
        try {
            check("too large", !c.set("big", 60, large));
        } catch (Exception e) {
            check("too large", true);
        }
        check("still in step", c.set("k", 60, "v") && "v".equals(c.get("k")));
        c.setWithNoReply("q", 60, "quiet");
        c.deleteWithNoReply("fresh");
        check("no reply", "quiet".equals(c.get("q")) && c.get("fresh") == null);
        check("lifetime", c.set("e", 3, "1") && "1".equals(c.get("e")));
        Thread.sleep(4100);
        check("expired", c.get("e") == null);
        check("version", c.getVersions().get(server).startsWith("1.6."));
        check("stats", Integer.parseInt(c.getStats().get(server).get("curr_items")) > 50);
        c.flushAll();
        check("flushed", c.get("k") == null);
        c.shutdown();
    }
}
